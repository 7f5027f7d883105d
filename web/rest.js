// The REST side of roomcast: one request, and the failures as errors with the server's codes.

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} roomId
 * @property {number} seq its place in the room: 1, 2, 3, … without a gap
 * @property {string} senderId
 * @property {string} clientMsgId
 * @property {'TEXT'|'IMAGE'|'SYSTEM'} type
 * @property {string} content
 * @property {string} createdAt
 */

/**
 * @typedef {object} Member
 * @property {string} userId
 * @property {string} displayName
 * @property {'owner'|'admin'|'member'} role
 * @property {boolean|null} online null when presence is unknown
 */

/** @typedef {{messages: Message[], hasMore: boolean}} Page */

/** A refusal: `code` is stable, the message is for people. */
export class RestError extends Error {
  /**
   * @param {number} status 0 when the server was not reached
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Rest {
  /** @param {string|null} token */
  constructor(token = null) {
    this.token = token;
  }

  /**
   * Sends a request and returns the answer's status, body and headers.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<{status: number, body: any, headers: Headers}>}
   * @throws {RestError}
   */
  async request(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body) headers['Content-Type'] = 'application/json';
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new RestError(0, 'UNREACHABLE', 'The server cannot be reached.');
    }
    const text = await answer.text();
    const json = parse(text);
    if (!answer.ok) {
      const fields = (json?.errors ?? []).map((/** @type {any} */ e) => `${e.path}: ${e.message}`);
      const detail = fields.join('; ') || json?.detail || `The server answered ${answer.status}.`;
      throw new RestError(answer.status, json?.code ?? 'INTERNAL', detail);
    }
    return { status: answer.status, body: json, headers: answer.headers };
  }

  /**
   * Returns a page of a room's messages, oldest first; without a cursor the newest page.
   *
   * @param {string} roomId
   * @param {{before?: string, after?: string, limit?: number}} [cursor]
   * @returns {Promise<Page>}
   */
  async messages(roomId, cursor = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(cursor)) query.set(name, String(value));
    const { body, headers } = await this.request('GET', `/rooms/${roomId}/messages?${query}`);
    return { messages: body, hasMore: headers.get('X-Has-More') === 'true' };
  }

  /**
   * @param {string} roomId
   * @returns {Promise<Member[]>}
   */
  async members(roomId) {
    return (await this.request('GET', `/rooms/${roomId}/members`)).body;
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
