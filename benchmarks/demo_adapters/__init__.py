"""How the adapters that `coremerge demo` merges were made."""
