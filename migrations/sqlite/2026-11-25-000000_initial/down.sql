DROP TABLE ingest_offsets;
DROP TABLE messages;
DROP TABLE invites;
DROP TABLE room_members;
DROP TABLE rooms;
DROP TABLE revoked_logins;
DROP TABLE users;
DROP TABLE installation;
