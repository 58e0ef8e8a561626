"""The work of Crossover: plain functions and one module a stage; nothing here needs a server."""
