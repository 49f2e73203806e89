"""What raters see: selection of contexts, assignment, pages and sheets."""
