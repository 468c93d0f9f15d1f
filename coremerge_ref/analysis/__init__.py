"""What can be said of a merge: how well it is defined, that it is lossless, how its tasks overlap."""
