// The picture of the README: a room as it looks on a good day. It is left in the artefacts; copy it to
// docs/page.png when the page has changed.

import { after, before, test } from 'node:test';

import { openRoom, room, say, sees } from './room.js';
import { Stage, shoot } from './stage.js';

/** @type {Stage} */
let stage;

before(async () => {
  stage = await Stage.open();
});
after(() => stage.close());

test('a picture of the page', async () => {
  const { server } = stage;
  const [ada, ben, cleo] = [
    await server.user('Ada'),
    await server.user('Ben'),
    await server.user('Cleo'),
  ];
  /** @param {typeof ada} owner @param {string} name @param {string} [visibility] */
  const make = async ({ token }, name, visibility = 'public') =>
    (await server.rest('POST', '/rooms', { token, body: { name, visibility } })).id;
  /** @param {string} roomId @param {typeof ada[]} people */
  const invite = async (roomId, ...people) => {
    for (const { token } of people) {
      const { token: invitation } = await server.rest('POST', `/rooms/${roomId}/invites`, {
        token: ada.token,
      });
      await server.rest('POST', `/invites/${invitation}/accept`, { token });
    }
  };
  await invite(await make(ada, 'Night watch', 'private'), ben);
  await invite(await make(ada, 'Supplies'), ben, cleo);
  await invite(await make(ada, 'Lighthouse'), ben, cleo);
  const size = { viewport: { width: 1080, height: 640 } };
  const pages = [await stage.as(ada, size), await stage.as(ben), await stage.as(cleo)];
  const [here, ...others] = pages;
  await openRoom(others[0], 'Night watch');
  await say(room(others[0]), 'Fog from the west, I stay up');
  for (const page of pages) await openRoom(page, 'Lighthouse');
  const [a, b, c] = pages.map(room);
  await say(b, 'The lamp is lit, and the log is on disk');
  await sees(a, 'The lamp is lit, and the log is on disk');
  await say(a, 'Seen from the harbour at once. How is the sea?');
  await sees(c, 'Seen from the harbour at once. How is the sea?');
  await say(c, 'Calm. I was without a network for an hour');
  await say(c, 'and everything was here when I came back, in order');
  await sees(b, 'and everything was here when I came back, in order');
  await say(b, 'As it should be');
  await sees(a, 'As it should be');
  await openRoom(others[1], 'Supplies');
  await say(room(others[1]), 'We need oil, rope and two pounds of coffee');
  await say(room(others[1]), 'And biscuits');
  await here.locator('.badge', { hasText: '2' }).waitFor();
  await here.getByRole('button', { name: 'Members' }).click();
  await here.locator('.member', { hasText: 'Cleo' }).waitFor();
  await here.getByLabel('Message', { exact: true }).fill('Then see you at dawn');
  await Promise.all([
    here.locator('.typing', { hasText: 'Ben is typing…' }).waitFor(),
    others[0].getByLabel('Message', { exact: true }).pressSequentially('Good'),
  ]);
  await shoot(here, 'page');
  stage.noFaults();
});
