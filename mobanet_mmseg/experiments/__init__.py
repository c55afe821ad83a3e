"""Runs of many configs and seeds, one after the other, and the tables and pictures of them."""
