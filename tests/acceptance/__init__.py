"""The program from outside: workspaces, commands, and what is left when they end or die."""
