//! Just enough of MongoDB's wire protocol to make a one-node replica set: one OP_MSG there, one back.
//!
//! A driver would work too, but it is by far the largest dependency of the workspace, and `cargo xtask` is the first thing a
//! newcomer waits for. Source: <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bson::{Document, doc};

use crate::Error;

const OP_MSG: i32 = 2013;
/// Length, request id, response to, opcode.
const HEADER: usize = 16;
/// Flag bits, then the kind of the one section: 0, a document.
const BODY_OFFSET: usize = HEADER + 4 + 1;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Runs one command on the `admin` database of the server at `127.0.0.1:port`.
pub fn command(port: u16, mut command: Document) -> Result<Document, Error> {
    command.insert("$db", "admin");
    let name = command.keys().next().cloned().unwrap_or_default();
    let failed = |what: &dyn std::fmt::Display| Error::MongoDb(format!("{name}: {what}"));

    let body = command.to_vec().map_err(|error| failed(&error))?;
    let reply = exchange(port, &body).map_err(|error| failed(&error))?;
    let document = reply
        .get(BODY_OFFSET..)
        .ok_or_else(|| failed(&"a short answer"))
        .and_then(|bytes| Document::from_reader(bytes).map_err(|error| failed(&error)))?;
    match document.get_f64("ok") {
        Ok(1.0) => Ok(document),
        _ => Err(failed(&document.get_str("errmsg").unwrap_or("refused without a reason"))),
    }
}

fn exchange(port: u16, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;

    let length = i32::try_from(BODY_OFFSET + body.len()).map_err(std::io::Error::other)?;
    let mut message = Vec::with_capacity(BODY_OFFSET + body.len());
    for number in [length, 1, 0, OP_MSG, 0] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(body);
    stream.write_all(&message)?;

    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let rest = u64::from(u32::from_le_bytes(prefix)).saturating_sub(4);
    let mut reply = prefix.to_vec();
    // The largest message of a server is 48 MB; these answers are below 4 KB.
    stream.take(rest.min(1024 * 1024)).read_to_end(&mut reply)?;
    Ok(reply)
}

/// What `hello` says about the replica set.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts writes.
    Primary,
    /// A member that is starting or electing.
    NotYet,
    /// Has never been part of a set.
    Uninitiated,
}

/// Asks the server for its role.
pub fn role(port: u16) -> Result<Role, Error> {
    command(port, doc! { "hello": 1 }).map(|answer| role_of(&answer))
}

fn role_of(hello: &Document) -> Role {
    if hello.get_bool("isWritablePrimary").unwrap_or(false) {
        return Role::Primary;
    }
    // A member names its set; `isreplicaset` is what a server with --replSet and no configuration says.
    if hello.get_bool("isreplicaset").unwrap_or(false) { Role::Uninitiated } else { Role::NotYet }
}

/// Makes the server at `port` the only member of the set `name`. If its data says that it belongs to a set at another address
/// (it ran on another port before), that configuration is replaced.
pub fn become_only_member(port: u16, name: &str) -> Result<(), Error> {
    let members = vec![doc! { "_id": 0, "host": format!("127.0.0.1:{port}") }];
    match command(port, doc! { "replSetGetConfig": 1 }) {
        Ok(current) => {
            let mut config = current.get_document("config").cloned().unwrap_or_default();
            let version = config.get_i32("version").unwrap_or(1);
            config.insert("version", version.saturating_add(1));
            config.insert("members", members);
            command(port, doc! { "replSetReconfig": config, "force": true })?;
        }
        Err(_) => {
            command(port, doc! { "replSetInitiate": { "_id": name, "members": members } })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_read_from_what_hello_says() {
        assert_eq!(role_of(&doc! { "isWritablePrimary": true, "setName": "rs0" }), Role::Primary);
        assert_eq!(role_of(&doc! { "isWritablePrimary": false, "setName": "rs0" }), Role::NotYet);
        assert_eq!(role_of(&doc! { "isWritablePrimary": false, "isreplicaset": true }), Role::Uninitiated);
    }

    #[test]
    fn no_server_is_an_error_that_names_the_command() {
        let [port] = crate::services::ports::free().unwrap();
        let message = role(port).unwrap_err().to_string();
        assert!(message.starts_with("MongoDB: hello: "), "{message}");
    }
}
