// What an address's fragment means: a room by its id, or an invitation.

const UUID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;
const INVITE = /(?:^|[#&])invite=([^&\s]+)/;
const TOKEN = /^[0-9a-f]{64}$/i;

/**
 * Reads a fragment, a whole link, or what somebody pasted of one.
 *
 * @param {string} text
 * @returns {{roomId?: string, invite?: string}}
 */
export function read(text) {
  const invite = INVITE.exec(text)?.[1] ?? TOKEN.exec(text)?.[0];
  if (invite) return { invite };
  const roomId = UUID.exec(text)?.[0].toLowerCase();
  return roomId ? { roomId } : {};
}

/** The fragment never reaches a server, nor its log. @param {string} token */
export const inviteLink = (token) => `${location.origin}/#invite=${token}`;

/** @param {string} roomId */
export const roomLink = (roomId) => `${location.origin}/#${roomId}`;
