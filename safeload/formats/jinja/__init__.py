"""Jinja templates, read and never rendered: their tokens, their syntax tree, and what their expressions come to.

No third-party parser: a scan must not need one, and what is judged must not depend on which one is installed. Tests
compare the reading with that of the jinja2 library.
"""
