"""Reports: runs become tables, observations and figures, and these a page."""
