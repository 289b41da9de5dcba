"""Transport of folders to and from the Hugging Face hub: `hf://owner/name`, `hf://owner/name@revision`.

Where a repository holds many, `hf://owner/name/folder/in/it@revision`.
"""

from pathlib import Path

from saev.errors import SaevError, first_line

SCHEME = "hf://"


def upload(folder: str | Path, repo: str, message: str, *, private: bool = False) -> str:
    """Commit a folder's files to the repository `repo`, made if it is not there.

    Returns:
        The address for `fetch`, with the revision that was made.

    Raises:
        SaevError: the hub refuses, or the repository is public and `private` was asked for.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.repo_info(repo).private:  # creating what exists has changed nothing
            raise SaevError("it is public, and private=True was asked for")
        made = api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message=message)
    except Exception as error:  # the hub's, its HTTP library's, SaevError
        raise SaevError(f"{SCHEME}{repo}: cannot be written to: {first_line(error)}") from None
    return f"{SCHEME}{repo}@{made.oid}"


def local(source: str | Path, files: list[str]) -> Path:
    """What is at the path; of an address the folder with these of its files, downloaded if need be."""
    return fetch(str(source), files) if str(source).startswith(SCHEME) else Path(source)


def fetch(source: str, files: list[str]) -> Path:
    """Download these files of a folder, or find them in the hub's cache, and return the folder.

    Raises:
        SaevError: no such repository, revision or folder, or no connection.
    """
    from huggingface_hub import snapshot_download

    address, _, revision = source.removeprefix(SCHEME).partition("@")
    owner, name, *inside = (*address.split("/"), "")  # the hub refuses an address without a name
    repo, folder = f"{owner}/{name}", "/".join(part for part in inside if part)
    patterns = [f"{folder}/{file}" if folder else file for file in files]
    try:
        place = Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns), folder)
    except Exception as error:  # the hub's and its HTTP library's
        raise SaevError(f"{source}: no SAE can be had there: {first_line(error)}") from None
    if not place.is_dir():
        raise SaevError(f"{source}: no SAE can be had there: none of {', '.join(patterns)}")
    return place
