"""The command ``mobanet``: the tools by their names, wherever the package is installed.

Standard library alone, so that a list or a help text need not wait for PyTorch.
"""
