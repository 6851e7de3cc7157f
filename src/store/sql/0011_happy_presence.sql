-- Those that count as active, by when they were last heard of: looked at every minute.
CREATE INDEX happy_sessions_active ON happy_sessions (last_active_at) WHERE active = 1;
CREATE INDEX happy_machines_active ON happy_machines (last_active_at) WHERE active = 1;
