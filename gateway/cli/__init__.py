"""The `lazaretto` command, a file a subcommand."""
