//! Turns the schemas in `proto/` into the Rust that is committed beside their users.
//!
//! The result is committed, so that building Bowline needs no code generator; a test here compares it
//! with the schemas. After changing a schema: `cargo run -p bowline-proto-codegen`.

use std::{
    error::Error,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use prost_build::{Config, Module};

/// One protobuf package and the one file generated from it. Paths are relative to the repository.
struct Package {
    name: &'static str,
    /// Every `.proto` in this folder belongs to the package.
    schemas: &'static str,
    generated: &'static str,
}

const PACKAGES: &[Package] = &[
    Package {
        name: "bowline.v1",
        schemas: "proto/bowline/v1",
        generated: "src/wire/generated/bowline.v1.rs",
    },
    Package { name: "chat.v1", schemas: "proto/chat/v1", generated: "examples/chat/generated/chat.v1.rs" },
];

/// What schemas import each other by: `import "bowline/v1/bowline.proto";`.
const INCLUDE: &str = "proto";

fn main() -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for package in PACKAGES {
        if let Err(error) = write(package) {
            eprintln!("error: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn write(package: &Package) -> Result<(), Box<dyn Error>> {
    let path = repository().join(package.generated);
    let rust = generate(package)?;
    if fs::read_to_string(&path).is_ok_and(|committed| committed == rust) {
        println!("current  {}", package.generated);
        return Ok(());
    }
    fs::create_dir_all(path.parent().ok_or("a generated file has a folder")?)?;
    fs::write(path, rust)?;
    println!("written  {}", package.generated);
    Ok(())
}

fn generate(package: &Package) -> Result<String, Box<dyn Error>> {
    let Package { name, schemas, .. } = package;
    let include = repository().join(INCLUDE);
    let files = schemas_in(&repository().join(schemas)).map_err(|error| format!("{schemas}: {error}"))?;
    if files.is_empty() {
        return Err(format!("{schemas}: no .proto file to generate {name} from").into());
    }
    // Only the debug format of a protox error says where in the schema it is.
    let descriptors = protox::compile(&files, [&include]).map_err(|error| format!("{error:?}"))?;
    let requests: Vec<_> = descriptors
        .file
        .into_iter()
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let own = Module::from_protobuf_package_name(name);
    let is_own = |file: &str| files.iter().any(|path| include.join(file) == *path);
    if let Some((_, stray)) = requests.iter().find(|(module, file)| *module != own && is_own(file.name())) {
        return Err(format!("{INCLUDE}/{} must say `package {name};`", stray.name()).into());
    }
    // Bytes are slices of what was received; a map has one order, so that a message has one encoding.
    let mut modules = Config::new().bytes(["."]).btree_map(["."]).generate(requests)?;
    let rust = modules.remove(&own).ok_or_else(|| format!("{schemas}: nothing in it to generate"))?;
    Ok(format!(
        "// Generated from {schemas}. Do not edit: change the schema and run `cargo run -p {}`.\n{rust}",
        env!("CARGO_PKG_NAME"),
    ))
}

/// Sorted, because the order of the schemas is the order of what is generated.
fn schemas_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("proto")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bowline_v1_is_current() {
        assert_current("bowline.v1");
    }

    #[test]
    fn chat_v1_is_current() {
        assert_current("chat.v1");
    }

    #[test]
    fn every_schema_belongs_to_a_package() {
        let listed: Vec<_> = PACKAGES.iter().map(|package| repository().join(package.schemas)).collect();
        let mut folders = vec![repository().join(INCLUDE)];
        while let Some(folder) = folders.pop() {
            let schemas = schemas_in(&folder).unwrap();
            assert!(schemas.is_empty() || listed.contains(&folder), "PACKAGES does not list {schemas:?}");
            let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            folders.extend(entries.filter(|path| path.is_dir()));
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_it() {
        let nowhere = Package { name: "nowhere.v1", schemas: "proto/nowhere/v1", generated: "unused" };
        let error = generate(&nowhere).unwrap_err().to_string();
        assert!(error.starts_with("proto/nowhere/v1: "), "{error}");
    }

    #[test]
    fn a_schema_of_another_package_is_an_error_that_names_it() {
        let misnamed = Package { name: "talk.v1", schemas: "proto/chat/v1", generated: "unused" };
        let error = generate(&misnamed).unwrap_err().to_string();
        assert_eq!(error, "proto/chat/v1/chat.proto must say `package talk.v1;`");
    }

    fn assert_current(name: &str) {
        let package = PACKAGES.iter().find(|package| package.name == name).unwrap();
        let generated = generate(package).unwrap_or_else(|error| panic!("{error}"));
        let committed = fs::read_to_string(repository().join(package.generated)).unwrap_or_default();
        // Not assert_eq: two whole files on the screen help nobody.
        assert!(
            committed == generated,
            "{} is not what {} generates; run `cargo run -p bowline-proto-codegen` and commit the result",
            package.generated,
            package.schemas,
        );
    }
}
