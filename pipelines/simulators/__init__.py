"""The fictitious field and the servers that imitate source systems on loopback.

Belongs here: everything that plays a vendor's side of the wire, its faults, and the seeded field behind it.
Does not: any code of the clients. Nothing is shared with them, so that one misreading cannot hide in both.
"""
