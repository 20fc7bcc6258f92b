"""The command line: a module a verb. Results go to stdout, all else to stderr."""
