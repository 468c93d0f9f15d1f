"""The paper: updates, frames, the stack and the way through it. No input or output here."""
