"""Reports, each generated from declarations, registers or evidence, never typed in."""
