"""Human evaluation: from responses to rating pages, and from ratings to tables with agreement.

Protocols are data (`protocols/*.toml`); a study is a folder with pages, sheets and its key.
"""
