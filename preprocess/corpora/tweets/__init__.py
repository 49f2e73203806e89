"""Archives of tweets -> conversations.jsonl, who answered whom found by joins on disk."""
