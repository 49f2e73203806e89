"""From the bytes of an archive's files, packed in whatever way, to lines on disk: an object or a row of a table each."""
