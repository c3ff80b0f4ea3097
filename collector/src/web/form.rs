//! What a browser sends with a form, with or without files.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use futures_util::stream;
use multer::Multipart;

use super::problem::{Kind, Problem};

/// Fields and files of one form.
const PARTS_MAX: usize = 64;

/// A file that came with a form.
#[derive(Clone, Debug)]
pub(in crate::web) struct Upload {
    /// As the browser calls it; anybody may have chosen it.
    pub(in crate::web) name: String,
    pub(in crate::web) bytes: Bytes,
}

/// Takes files apart from fields. What stays is the fields, as a form without files has them.
pub(in crate::web) async fn unpack(
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Bytes, HashMap<String, Upload>), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(boundary) = kind.and_then(|kind| multer::parse_boundary(kind).ok()) else {
        return Ok((body, HashMap::new()));
    };
    let broken = |error: multer::Error| Problem::malformed(format!("the form cannot be read: {error}"));
    let mut parts = Multipart::new(stream::iter([Ok::<_, std::convert::Infallible>(body)]), boundary);
    let (mut fields, mut files) = (Vec::new(), HashMap::new());
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        if fields.len() + files.len() >= PARTS_MAX {
            return Err(Problem::new(Kind::TooLarge).because("the form has too many fields"));
        }
        let (name, file) = (part.name().unwrap_or_default().to_owned(), part.file_name().map(str::to_owned));
        match file {
            // A file field that was left empty.
            Some(file) if file.is_empty() => {}
            Some(file) => {
                files.insert(name, Upload { name: file, bytes: part.bytes().await.map_err(broken)? });
            }
            None => fields.push((name, part.text().await.map_err(broken)?)),
        }
    }
    let fields = serde_html_form::to_string(&fields).map_err(|error| Problem::broken(&error))?;
    Ok((fields.into(), files))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn files_and_fields_are_told_apart() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=XX"));
        let body = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\na&b=销售\r\n\
                    --XX\r\nContent-Disposition: form-data; name=\"list\"; filename=\"a.csv\"\r\n\r\nx,y\r\n\
                    --XX\r\nContent-Disposition: form-data; name=\"none\"; filename=\"\"\r\n\r\n\r\n--XX--\r\n";
        let (fields, files) = unpack(&headers, Bytes::from(body)).await.unwrap();
        let fields: Vec<(String, String)> = serde_html_form::from_bytes(&fields).unwrap();
        assert_eq!(fields, [("note".to_owned(), "a&b=销售".to_owned())]);
        assert_eq!(files.len(), 1);
        assert_eq!((files["list"].name.as_str(), &files["list"].bytes[..]), ("a.csv", &b"x,y"[..]));
        for broken in ["", "--XX\r\n", "--XX\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nno end"] {
            assert!(unpack(&headers, Bytes::from(broken)).await.is_err(), "{broken:?}");
        }
        let plain = unpack(&HeaderMap::new(), Bytes::from("a=1")).await.unwrap();
        assert_eq!(&plain.0[..], b"a=1");
    }
}
