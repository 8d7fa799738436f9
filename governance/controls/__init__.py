"""Named checks that enforce or verify, and the record of what each found. They know no promise."""
