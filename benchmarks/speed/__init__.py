"""The published algorithms in our own writing, and paired timings beside ours."""
