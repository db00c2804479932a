//! Who begins sagas: `POST /v1/sagas` over a connection that is kept, with as little work of its own as may be, since it shares the cores with what is measured.

use crate::report::Result;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream,
            address,
            answer: Vec::with_capacity(1024),
        })
    }

    /// Begins a saga; its id, once it is stored.
    pub(crate) async fn begin(&mut self, definition: &str, key: &str) -> Result<String> {
        let body = format!(
            r#"{{"definition":"{definition}","data":{{"order":"{key}","customer":4711,"total":129.5}}}}"#
        );
        let request = format!(
            "POST /v1/sagas HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let body = self.answer().await?;
        let told: Value = serde_json::from_slice(body)?;
        match told["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(format!("no saga was begun: {told}").into()),
        }
    }

    /// The body of the answer.
    async fn answer(&mut self) -> Result<&[u8]> {
        self.answer.clear();
        let mut ends = None;
        while ends.is_none_or(|(_, end)| self.answer.len() < end) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the connection was closed".into());
            }
            ends = match ends {
                None => whole(&self.answer)?,
                known => known,
            };
        }
        let (from, to) = ends.unwrap_or_default();
        Ok(self.answer.get(from..to).unwrap_or_default())
    }
}

/// Where the body begins and ends, once the head is there.
fn whole(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let end = answer.windows(HEAD_END.len()).position(|it| it == HEAD_END);
    let Some(end) = end else {
        return Ok(None);
    };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length.ok_or("an answer without a length")?.trim().parse()?;
    let from = end + HEAD_END.len();
    Ok(Some((from, from + length)))
}
