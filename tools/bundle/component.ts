/** Third-party software in an image. */
export interface Component {
  readonly name: string;
  /** Empty if nobody knows it. */
  readonly version: string;
  /** An SPDX licence expression. */
  readonly licence: string;
  /** https://github.com/package-url/purl-spec */
  readonly purl: string;
  /** Where its files, or its sources, can be downloaded. */
  readonly download: string;
  /** Hexadecimal, of the archive at `download`. */
  readonly sha512?: string;
  /** The name that vulnerability databases use, for software without packages. */
  readonly cpe?: string;
  /** Name and version of the source package, for a package of Debian. */
  readonly builtFrom?: string;
  /** Texts that must accompany the software: licences, notices, copyright lines. */
  readonly notices: readonly string[];
  /** What is compiled into the software. */
  readonly parts?: readonly Component[];
}
