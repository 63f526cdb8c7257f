"""Auditing the code that comes with a model: which files a load could import, and what they can do. Nothing runs."""
