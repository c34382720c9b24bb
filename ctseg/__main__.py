"""`python -m ctseg` is the command as well."""

from ctseg.cli import main

main()
