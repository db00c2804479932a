//! As much HTTP as a webhook's receiver needs.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

const BODY_BYTES_MAX: u64 = 4 << 20;
const HEAD_LINES_MAX: usize = 100;

/// A request as it came.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

/// Reads one request.
pub(super) fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for _ in 0..HEAD_LINES_MAX {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = String::new();
    reader
        .take(u64::min(length, BODY_BYTES_MAX))
        .read_to_string(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Request {
        path,
        headers,
        body,
    })
}

/// A whole answer.
pub(super) fn answer(status: u16, retry_after: Option<u64>, body: &str) -> String {
    let wait = retry_after.map_or(String::new(), |seconds| {
        format!("Retry-After: {seconds}\r\n")
    });
    format!(
        "HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\n{wait}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
