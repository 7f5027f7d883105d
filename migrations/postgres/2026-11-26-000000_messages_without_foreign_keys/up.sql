-- They are looked up for each row: ingest alone writes here, and knows once for a batch that rooms
-- and senders are there (docs/adr/0015).
ALTER TABLE messages
    DROP CONSTRAINT messages_room_id_fkey,
    DROP CONSTRAINT messages_sender_id_fkey;
