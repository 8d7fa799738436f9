"""`make bench`: figures, as CPU time and as ratios measured in one run; nothing here passes or fails."""
