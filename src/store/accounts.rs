//! Queries on users and on logins that were ended.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::{
    clock::Timestamp,
    ids::{LoginId, TokenId, UserId},
    store::{
        NewUser, TokenState, User,
        schema::{invites, revoked_logins, users},
    },
};

type UserRow = (UserId, String, String, Timestamp, i64, Option<TokenId>);

type UserColumns = (
    users::id,
    users::email,
    users::display_name,
    users::created_at,
    users::token_generation,
    users::kept_token,
);

const USER: UserColumns = (
    users::id,
    users::email,
    users::display_name,
    users::created_at,
    users::token_generation,
    users::kept_token,
);

fn user_of((id, email, display_name, created_at, generation, kept_token): UserRow) -> User {
    User {
        id,
        email,
        display_name,
        created_at,
        tokens: token_state(generation, kept_token),
    }
}

fn token_state(generation: i64, kept_token: Option<TokenId>) -> TokenState {
    TokenState {
        generation: generation.cast_unsigned(),
        kept_token,
    }
}

/// `None` when the address is taken.
pub(crate) async fn register(conn: &mut Conn, new: NewUser) -> QueryResult<Option<User>> {
    let row = diesel::insert_into(users::table)
        .values((
            users::id.eq(UserId::random()),
            users::email.eq(new.email),
            users::password_hash.eq(new.password_hash),
            users::display_name.eq(new.display_name),
            users::created_at.eq(Timestamp::now()),
        ))
        .on_conflict(users::email)
        .do_nothing()
        .returning(USER)
        .get_result::<UserRow>(conn)
        .await
        .optional()?;
    Ok(row.map(user_of))
}

pub(crate) async fn user(conn: &mut Conn, id: UserId) -> QueryResult<Option<User>> {
    let query = users::table.find(id).select(USER);
    let row = query.first::<UserRow>(conn).await.optional()?;
    Ok(row.map(user_of))
}

pub(crate) async fn user_by_email(conn: &mut Conn, email: String) -> QueryResult<Option<User>> {
    let query = users::table.filter(users::email.eq(email)).select(USER);
    let row = query.first::<UserRow>(conn).await.optional()?;
    Ok(row.map(user_of))
}

pub(crate) async fn credentials(
    conn: &mut Conn,
    email: String,
) -> QueryResult<Option<(User, String)>> {
    let row = users::table
        .filter(users::email.eq(email))
        .select((USER, users::password_hash))
        .first::<(UserRow, String)>(conn)
        .await
        .optional()?;
    Ok(row.map(|(user, hash)| (user_of(user), hash)))
}

pub(crate) async fn credentials_of(
    conn: &mut Conn,
    id: UserId,
) -> QueryResult<Option<(User, String)>> {
    let row = users::table
        .find(id)
        .select((USER, users::password_hash))
        .first::<(UserRow, String)>(conn)
        .await
        .optional()?;
    Ok(row.map(|(user, hash)| (user_of(user), hash)))
}

/// `None` when the user's tokens are of another generation by now.
pub(crate) async fn change_password(
    conn: &mut Conn,
    id: UserId,
    generation: u64,
    password_hash: String,
    kept_token: TokenId,
) -> QueryResult<Option<TokenState>> {
    let user = users::table
        .find(id)
        .filter(users::token_generation.eq(generation.cast_signed()));
    let row = diesel::update(user)
        .set((
            users::password_hash.eq(password_hash),
            users::token_generation.eq(users::token_generation + 1),
            users::kept_token.eq(kept_token),
        ))
        .returning((users::token_generation, users::kept_token))
        .get_result::<(i64, Option<TokenId>)>(conn)
        .await
        .optional()?;
    Ok(row.map(|(generation, kept_token)| token_state(generation, kept_token)))
}

pub(crate) async fn token_states(
    conn: &mut Conn,
    ids: Vec<UserId>,
) -> QueryResult<Vec<(UserId, TokenState)>> {
    let rows = users::table
        .filter(users::id.eq_any(ids))
        .select((users::id, users::token_generation, users::kept_token))
        .load::<(UserId, i64, Option<TokenId>)>(conn)
        .await?;
    let state = |(id, generation, kept_token)| (id, token_state(generation, kept_token));
    Ok(rows.into_iter().map(state).collect())
}

pub(crate) async fn revoke_login(
    conn: &mut Conn,
    user_id: UserId,
    login_id: LoginId,
    expires_at: Timestamp,
) -> QueryResult<()> {
    let revocation = (
        revoked_logins::login_id.eq(login_id),
        revoked_logins::user_id.eq(user_id),
        revoked_logins::expires_at.eq(expires_at),
    );
    diesel::insert_into(revoked_logins::table)
        .values(revocation)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn revoked_logins(
    conn: &mut Conn,
    now: Timestamp,
) -> QueryResult<Vec<(LoginId, Timestamp)>> {
    revoked_logins::table
        .filter(revoked_logins::expires_at.gt(now))
        .select((revoked_logins::login_id, revoked_logins::expires_at))
        .load(conn)
        .await
}

/// Returns how many revocations and invites were forgotten.
pub(crate) async fn forget_expired(conn: &mut Conn, now: Timestamp) -> QueryResult<usize> {
    let revoked = revoked_logins::table.filter(revoked_logins::expires_at.le(now));
    let revoked = diesel::delete(revoked).execute(conn).await?;
    let expired = invites::table.filter(invites::expires_at.le(now));
    let expired = diesel::delete(expired).execute(conn).await?;
    Ok(revoked + expired)
}
