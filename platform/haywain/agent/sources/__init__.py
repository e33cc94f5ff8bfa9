"""The kinds of sources: one file is one type, found by its name; see `haywain.agent.source`."""
