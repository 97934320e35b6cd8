# Perl's MIME-tools, the parser of amavis and of Proxmox: messages in on standard input, a JSON list of leaves out.
# Both ways a frame is four bytes of length, the highest first, and so many bytes.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use MIME::Parser;

binmode STDIN;
binmode STDOUT;

sub leaves {
    my ($entity) = @_;
    my @parts = $entity->parts;
    return map { leaves($_) } @parts if @parts;
    my $head = $entity->head;
    my $body = $entity->bodyhandle;
    my $data = $body ? $body->as_string : '';
    utf8::encode($data) if utf8::is_utf8($data);
    my $name = $head->recommended_filename // '';
    utf8::decode($name) unless utf8::is_utf8($name);
    return {type => lc($head->mime_type // ''), name => $name, data => encode_base64($data, '')};
}

sub parsed {
    my ($raw, $uuencode) = @_;
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->extract_uuencode($uuencode);
    $parser->max_parts(-1);
    return leaves($parser->parse_data($raw));
}

my $json = JSON::PP->new->ascii;
while ((read(STDIN, my $size, 4) // 0) == 4) {
    my ($wanted, $raw) = (unpack('N', $size), '');
    while (length($raw) < $wanted) {
        read(STDIN, $raw, $wanted - length($raw), length($raw)) or exit 1;
    }
    # what it takes out of texts where it is asked to is looked at too, but is no part that others see
    my $answer = eval {
        my @plain = parsed($raw, 0);
        $json->encode([@plain, $raw =~ /^begin/m ? map { {%$_, extra => 1} } parsed($raw, 1) : ()]);
    } // $json->encode({error => "$@"});
    print pack('N', length $answer), $answer;
    STDOUT->flush;
}
