-- They are looked up for each row: ingest alone writes here, and knows once for a batch that rooms
-- and senders are there (docs/adr/0015).
-- In the order of an ingest, which may go on beside it; who cannot have them soon gives up, before
-- all others wait behind it.
SET LOCAL lock_timeout = '3s';
LOCK TABLE rooms, messages, users IN ACCESS EXCLUSIVE MODE;
ALTER TABLE messages
    DROP CONSTRAINT messages_room_id_fkey,
    DROP CONSTRAINT messages_sender_id_fkey;
