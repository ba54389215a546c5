use lapin::ErrorKind;

/// What can go wrong with the broker, by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker refuses our user, password or virtual host. A person has to correct `RABBITMQ_URL` or the broker.
    #[error("the broker refuses us, check user, password and virtual host in RABBITMQ_URL: {0}")]
    Refused(String),
    /// A queue or an exchange of that name has other properties, which cannot be changed in place. A person has to
    /// drain and delete it; then it is declared again. A worker replaces such a queue after a minute, unless others
    /// consume from it.
    #[error("{object} {name:?} exists with other properties than this version needs; drain and delete it: {said}")]
    Differs {
        /// `queue` or `exchange`.
        object: &'static str,
        /// Its name.
        name: String,
        /// What the broker said.
        said: String,
    },
    /// Not sent: there is no connection, or the broker accepts no messages for now. Try again later.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    /// The broker had no queue for the message and returned it. The next publish declares the queue again.
    #[error("no queue took the message for {queue}: {said}")]
    Returned {
        /// The queue it was meant for.
        queue: String,
        /// What the broker said.
        said: String,
    },
    /// The broker did not accept the message: the queue is full or has lost its majority.
    #[error("queue {0} refused the message; it is full or has lost its majority")]
    Nacked(String),
    /// Sent, but not answered: the message may or may not be in the queue. Publish it again.
    #[error("it is unknown whether the message was published: {0}")]
    Unknown(String),
    /// The broker did not say whether it deleted a queue: that may be gone, or go yet.
    #[error("it is unknown whether the queue was deleted: the broker does not answer in time")]
    DeletionUnknown,
    /// The delivery was not settled, because its connection is gone. The broker delivers it again.
    #[error("the delivery could not be settled and will be delivered again: {0}")]
    SettleLost(String),
}

impl Error {
    #[allow(clippy::needless_pass_by_value, reason = "so that map_err can name it")]
    pub(crate) fn unavailable(why: impl ToString) -> Self {
        Self::Unavailable(why.to_string())
    }

    pub(crate) fn no_answer() -> Self {
        Self::unavailable("it does not answer in time")
    }

    pub(crate) fn connecting(error: &lapin::Error) -> Self {
        match reply_code(error) {
            // connection.close with 403: wrong user or password; 530: no such virtual host, or no right to it.
            Some(403 | 530) => Self::Refused(error.to_string()),
            _ => Self::unavailable(error),
        }
    }

    pub(crate) fn declaring(object: &'static str, name: &str, error: &lapin::Error) -> Self {
        match reply_code(error) {
            Some(406) => Self::Differs { object, name: name.to_owned(), said: error.to_string() },
            Some(403) => Self::Refused(error.to_string()),
            _ => Self::unavailable(error),
        }
    }
}

/// What came of an ack or a nack. lapin says `false` if the delivery's channel is gone.
pub(crate) fn settled(answer: Result<lapin::Result<bool>, Error>) -> Result<(), Error> {
    let why = match answer {
        Ok(Ok(true)) => return Ok(()),
        Ok(Ok(false)) => "the connection was lost meanwhile".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(Error::SettleLost(why))
}

/// There is no such queue or exchange.
pub(crate) const NOT_FOUND: u16 = 404;

/// The reply code of a channel or connection that the broker closed (AMQP 0-9-1, section 1.2 "Constants").
pub(crate) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}
