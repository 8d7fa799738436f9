"""Money: a double-entry ledger, leases on it, a sealed journal of charges, and the commit that brings them together.

A charge goes: `Purse.reserve` -> `Purse.settle` (journal, one write) -> `Committer` (ledger and usage log).
Inside the room: purse > commit > journal | usage_log | lease > ledger | meter_event.
"""
