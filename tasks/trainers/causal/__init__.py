"""Language models: one module a branch, on what they share. Training from scratch imports no transformers."""
