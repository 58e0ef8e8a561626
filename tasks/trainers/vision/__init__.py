"""The branches of image classification, one module each.

Networks and decoding are those of `tasks.serving`, so that what is served is what was trained.
"""
