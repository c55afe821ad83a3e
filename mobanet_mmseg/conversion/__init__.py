"""Turns data as it is downloaded or flown into what the datasets read."""
