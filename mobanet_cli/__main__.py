"""Lets ``python -m mobanet_cli`` do what ``mobanet`` does."""

from mobanet_cli.commands import main

if __name__ == '__main__':
    main()
