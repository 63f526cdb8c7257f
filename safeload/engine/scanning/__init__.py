"""What a scan is made of: files read side by side, results remembered, and what people say of findings."""
