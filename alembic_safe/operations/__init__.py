"""The op.* verbs that revision files speak: one file each, with its SQL, its renderer and its reverse."""
