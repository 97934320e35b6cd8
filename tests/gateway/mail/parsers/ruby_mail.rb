# Ruby's mail: messages in on standard input, a JSON list of leaves out.
# Both ways a frame is four bytes of length, the highest first, and so many bytes.
require 'json'
require 'mail'

$stdin.binmode
$stdout.binmode

def decoded(part)
  Mail::Encodings.get_encoding(part.content_transfer_encoding || '7bit').decode(part.body.raw_source)
rescue StandardError
  part.body.raw_source
end

def leaves(part)
  return part.parts.flat_map { |inner| leaves(inner) } if part.multipart? && !part.parts.empty?

  # messages inside messages are left to whoever asks this library for them
  return leaves(Mail.new(part.body.raw_source)) if part.mime_type == 'message/rfc822' && part.content_transfer_encoding !~ /base64/i

  [{ type: (part.mime_type || 'text/plain').downcase, name: (part.filename || '').dup.force_encoding('UTF-8').scrub('?'),
     data: [decoded(part).b].pack('m0') }]
end

while (size = $stdin.read(4))
  raw = $stdin.read(size.unpack1('N'))
  answer = begin
    JSON.generate(leaves(Mail.new(raw)))
  rescue StandardError, SystemStackError => e
    JSON.generate(error: e.class.name)
  end
  $stdout.write([answer.bytesize].pack('N'), answer)
  $stdout.flush
end
