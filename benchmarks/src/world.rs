//! Users and rooms, made once; each round starts from a copy of the folder they are in.

use std::{fs, path::Path, thread};

use anyhow::anyhow;
use tempfile::TempDir;

use crate::{
    process::Core,
    rest::{Rest, User},
    server::Server,
};

/// Threads that make them: each registration costs the server two hashes of a password.
const MAKERS: usize = 4;

/// Who is in which room, by their numbers.
pub(crate) struct Cast {
    pub(crate) users: usize,
    pub(crate) rooms: usize,
    /// The rooms of each user.
    pub(crate) rooms_of: Vec<Vec<usize>>,
}

/// What a load needs to know.
pub(crate) struct World {
    pub(crate) users: Vec<User>,
    pub(crate) rooms: Vec<String>,
}

impl World {
    /// Makes all of it on a server.
    pub(crate) fn make(server: &Server, cast: &Cast) -> anyhow::Result<Self> {
        // A server that is reached by many runs has users of other runs.
        let run = uuid::Uuid::new_v4();
        let users = in_parallel(server, cast.users, |rest, n| {
            rest.register(&format!("{n}-{run}"))
        })?;
        let rooms = in_parallel(server, cast.rooms, |rest, n| {
            rest.make_room(&users[n % users.len()])
        })?;
        in_parallel(server, cast.users, |rest, user| {
            for &room in &cast.rooms_of[user] {
                // Its owner is in it already.
                if room % users.len() != user {
                    rest.join(&users[user], &rooms[room])?;
                }
            }
            Ok(())
        })?;
        Ok(Self { users, rooms })
    }
}

fn in_parallel<T: Send>(
    server: &Server,
    number: usize,
    work: impl Fn(&mut Rest, usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let share = |maker: usize| -> anyhow::Result<Vec<T>> {
        let mut rest = server.rest()?;
        let mine = (maker..number).step_by(MAKERS);
        mine.map(|n| work(&mut rest, n)).collect()
    };
    let shares = thread::scope(|scope| {
        let share = &share;
        let makers: Vec<_> = (0..MAKERS)
            .map(|maker| scope.spawn(move || share(maker)))
            .collect();
        let done = makers.into_iter().map(|maker| maker.join());
        done.map(|share| share.map_err(|_| anyhow!("a thread panicked"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    let makers = shares.len();
    let in_order = (0..number).filter_map(|n| shares[n % makers].next());
    Ok(in_order.collect())
}

/// A folder of the embedded preset with a world in it.
pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) world: World,
}

impl Stage {
    pub(crate) fn set(roomcast: &Path, cast: &Cast) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let server = Server::embedded(roomcast, folder.path(), Core::Any)?;
        let world = World::make(&server, cast)?;
        server.stop()?;
        Ok(Self { folder, world })
    }

    /// Starts a server of its own on a copy of the folder.
    pub(crate) fn serve(&self, roomcast: &Path, core: Core) -> anyhow::Result<(Server, TempDir)> {
        let copy = self.copy()?;
        Ok((Server::embedded(roomcast, copy.path(), core)?, copy))
    }

    pub(crate) fn copy(&self) -> anyhow::Result<TempDir> {
        let copy = TempDir::new()?;
        for file in fs::read_dir(self.folder.path())? {
            let file = file?;
            fs::copy(file.path(), copy.path().join(file.file_name()))?;
        }
        Ok(copy)
    }
}
