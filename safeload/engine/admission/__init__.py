"""What an admission is made of: what one load would read, the directory written for it, and what is kept of it."""
