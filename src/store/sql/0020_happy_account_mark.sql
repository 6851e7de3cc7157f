-- An account that comes from an archive or goes for good is nobody's meanwhile.
ALTER TABLE happy_accounts ADD COLUMN mark TEXT CHECK (mark IN ('importing', 'removing'));
