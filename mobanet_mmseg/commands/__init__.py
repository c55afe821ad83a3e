"""What the tools of tools/ do, once their arguments are parsed."""
