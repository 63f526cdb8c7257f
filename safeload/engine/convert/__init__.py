"""Converting checkpoints to safetensors without running them; comparing two; saying what is in one."""
