"""What is missing or does not fit here, and how to mend it. See `python -m tasks.doctor`."""
