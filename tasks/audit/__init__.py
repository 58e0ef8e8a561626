"""Reads one file of labelled texts, sets bad rows aside, finds duplicates and splits what is left without leakage."""
