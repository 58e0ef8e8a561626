"""One module a place: `submit`, `alive`, `cancel`."""
